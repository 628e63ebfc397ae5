"""What is true of the data: contracts, their registry, cross-table truths. Pure; imports nothing of ours."""

"""How and when it runs: definitions, resources, partitions, jobs, schedules, sensors, and the command."""

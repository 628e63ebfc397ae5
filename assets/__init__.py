"""What is computed: one folder per stage or product; pure functions and one thin ``defs.py`` each."""

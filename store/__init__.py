"""Where bytes live: settings, source, worlds, lake, generations. No Dagster here."""

"""Pictures of runs and nets."""

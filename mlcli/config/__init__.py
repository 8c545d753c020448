"""What an experiment is: the schema, the YAML loader, overrides, and the resolution for one backend."""

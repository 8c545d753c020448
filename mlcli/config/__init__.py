"""The configuration of an experiment: schema, YAML reader, overrides, and the merge of all of them into one value."""

"""The datasets known by name, one YAML file each, and how a checked copy is obtained."""

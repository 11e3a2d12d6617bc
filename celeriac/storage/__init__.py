"""What lies next to the records: values, artifacts, groups, keys, tenants, heartbeats."""

"""What the pages Methods, Claims and Learn are made of: records, not widgets."""

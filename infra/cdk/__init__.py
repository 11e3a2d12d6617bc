"""The system on AWS, as CDK stacks derived from the catalogue."""

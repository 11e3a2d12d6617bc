"""Data, Workers, Api and Ops. A stack composes constructs and makes every grant."""

"""The engine that the API and the workers share."""

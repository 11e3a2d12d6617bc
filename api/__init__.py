"""Your FastAPI app, and the Lambda handler that runs it."""

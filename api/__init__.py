"""HTTP in: FastAPI, and the Lambda handler."""

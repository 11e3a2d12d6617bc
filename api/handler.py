"""The Lambda handler: the same app, and what AWS tells the deployment."""

from api.app import app
from celeriac.http import lambda_handler

#: AWS calls ``api.handler.handler``.
handler = lambda_handler(app)

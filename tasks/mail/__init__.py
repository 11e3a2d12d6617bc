"""Mail: composing it, rendering its templates, and handing it to SES or to an SMTP server."""

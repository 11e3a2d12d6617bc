"""Real workers on an AWS that fails."""

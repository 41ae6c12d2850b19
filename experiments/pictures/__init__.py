"""Pictures of scenes and of what the sensors make of real recordings."""

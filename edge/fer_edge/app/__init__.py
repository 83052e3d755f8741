"""The command `fer-camera`: options, configuration file, service."""

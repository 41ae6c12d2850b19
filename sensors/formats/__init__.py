"""Event file formats, a module each; `sensors.files` chooses by the name's suffix."""

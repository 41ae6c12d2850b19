"""Errors that a user can act on; the command line turns each into one line and an exit code."""


class SpikefuseError(Exception):
    """Base of every error that spikefuse raises about its user's input."""

    exit_code = 1


class ConfigError(SpikefuseError, ValueError):
    """A configuration key or value is wrong; the message names it and the nearest valid one."""

    exit_code = 2


class DataError(SpikefuseError, ValueError):
    """A file or folder of recordings is missing, damaged or out of range."""

    exit_code = 1


class EventError(DataError):
    """Events break the rules of an EventStream; the message names the field that failed."""


class ProfileError(SpikefuseError, ValueError):
    """A hardware profile lacks a unit, a source, a locator or a kind, or holds a wrong value."""

    exit_code = 2


class BackendError(SpikefuseError, ValueError):
    """An explicit backend cannot run an operation; the message says why each candidate cannot."""

    exit_code = 2

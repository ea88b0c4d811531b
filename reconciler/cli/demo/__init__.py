"""The parts of the demo: a gateway that commands are typed in, and a service that asks it."""

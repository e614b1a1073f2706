"""Checkpoint and restore by CRIU: `rpc` is its wire format, `service` one conversation with it, `images` what of a
container is outside of it and has to be named to CRIU on both occasions."""

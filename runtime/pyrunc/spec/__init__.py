"""The typed model of `config.json` (runtime-spec 1.3.0): reading it is validating it."""

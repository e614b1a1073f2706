"""Times and memory of the runtime's commands, interleaved with its peers on the same bundle."""

"""opencontainers/runtime-tools' validation programs against several runtimes side by side."""

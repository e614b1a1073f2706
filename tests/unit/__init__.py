"""Tests of pure code: no root, no container, a few seconds in all."""

//! The fault matrix: everyone the proxy talks to misbehaves in turn, and the others must not notice more than they must.

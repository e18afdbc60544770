//! The bodies that travel through the stack.

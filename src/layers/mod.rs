//! One middleware a file, named by its verb.

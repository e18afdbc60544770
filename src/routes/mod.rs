//! Which upstream, under what conditions.

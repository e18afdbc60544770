//! What the user wrote: raw types one to one with the file, and what is wrong with it. No runtime types.

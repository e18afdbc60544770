//! Clients that speak HTTP/2 from the first byte, on the port where others speak HTTP/1.1.

mod ends;
mod hostile;
mod requests;
mod websockets;

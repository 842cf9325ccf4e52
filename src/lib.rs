//! An HTTP/1.1 server for serverless functions.

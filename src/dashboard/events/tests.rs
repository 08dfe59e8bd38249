//! Who follows the events gets all of them or is dropped.

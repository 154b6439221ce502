//! Stories about real farm processes.

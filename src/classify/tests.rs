//! Tables and properties of classification.

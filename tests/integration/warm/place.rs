use crate::command_line::Test;
pub(crate) const TESTS: [(&str, Test); 0] = [];

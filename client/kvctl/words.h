// How the interactive shell reads a line. Pure functions.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace kvd::kvctl {

// Words as a shell would split them: quotes of both kinds, backslash. False if a quote stays open.
bool SplitWords(std::string_view line, std::vector<std::string>* words);

}  // namespace kvd::kvctl

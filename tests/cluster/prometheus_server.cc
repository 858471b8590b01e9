#include "tests/cluster/prometheus_server.h"

#include <signal.h>
#include <sys/wait.h>

#include <fstream>

#include "absl/strings/str_cat.h"
#include "tests/cluster/mini_cluster.h"

namespace kvd {

PrometheusServer::PrometheusServer(const std::map<std::string, std::string>& files)
    : address_(absl::StrCat("127.0.0.1:", FreePortPair())) {
  for (const auto& [name, text] : files) std::ofstream(directory_.path() + "/" + name) << text;
  pid_ = Spawn({"/usr/bin/prometheus", "--config.file=" + directory_.path() + "/prometheus.yml",
                "--storage.tsdb.path=" + directory_.path() + "/data",
                "--web.listen-address=" + address_, "--log.level=warn"},
               directory_.path() + "/log");
}

PrometheusServer::~PrometheusServer() {
  kill(pid_, SIGKILL);
  waitpid(pid_, nullptr, 0);
}

absl::StatusOr<nlohmann::json> PrometheusServer::Ask(
    const std::string& path,
    const std::vector<std::pair<std::string, std::string>>& parameters) const {
  std::vector<std::string> words = {"/usr/bin/curl", "-s", "-G"};
  for (const auto& [name, value] : parameters)
    words.insert(words.end(), {"--data-urlencode", name + "=" + value});
  words.push_back("http://" + address_ + "/api/v1/" + path);
  Finished asked = RunProgram(words);
  if (asked.exit_code != 0)
    return absl::UnavailableError(absl::StrCat("curl ended with ", asked.exit_code));
  auto answer = nlohmann::json::parse(asked.output, nullptr, /*allow_exceptions=*/false);
  if (!answer.is_object() || answer.value("status", "") != "success")
    return absl::InternalError(asked.output);
  return answer["data"];
}

absl::StatusOr<std::vector<Sample>> PrometheusServer::Query(const std::string& expression) const {
  auto data = Ask("query", {{"query", expression}});
  if (!data.ok()) return data.status();
  std::vector<Sample> samples;
  for (const auto& series : (*data)["result"]) {
    Sample& sample = samples.emplace_back();
    for (const auto& [name, value] : series["metric"].items()) sample.labels[name] = value;
    // [time, "value"]: a string, so that it can be NaN.
    sample.value = std::stod(series["value"][1].get<std::string>());
  }
  return samples;
}

std::string PrometheusServer::Log() const { return ReadAll(directory_.path() + "/log"); }

}  // namespace kvd

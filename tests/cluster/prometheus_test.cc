// What deploy/prometheus has, used by a real Prometheus on a real cluster: the scrape configuration
// finds the stores, every panel of the dashboard shows something, alerts can be told and do fire.
#include <atomic>
#include <cmath>
#include <regex>
#include <set>
#include <thread>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/cluster/mini_cluster.h"
#include "tests/cluster/prometheus_server.h"

namespace kvd {
namespace {

using testing::HasSubstr;
using Json = nlohmann::json;

std::string Shipped(const std::string& name) {
  return ReadAll(absl::StrCat(KVD_DEPLOY, "/prometheus/", name));
}

// The stores of a test instead of the quick start's, and no waiting for a scrape.
std::string ScrapeConfiguration(const MiniCluster& cluster) {
  std::string targets;
  for (int n = 1; n <= cluster.size(); ++n)
    absl::StrAppend(&targets, n == 1 ? "" : ", ", cluster.HttpAddress(n));
  std::string text = absl::StrReplaceAll(
      Shipped("prometheus.yml"), {{"127.0.0.1:7481, 127.0.0.1:7491, 127.0.0.1:7501", targets},
                                  {"scrape_interval: 5s", "scrape_interval: 1s"},
                                  {"evaluation_interval: 5s", "evaluation_interval: 1s"}});
  EXPECT_THAT(text, HasSubstr(targets));
  return text;
}

// A store counts as down sooner.
std::string Alerts() {
  std::string text =
      absl::StrReplaceAll(Shipped("alerts.yml"), {{"seconds) > 30", "seconds) > 2"}});
  EXPECT_THAT(text, HasSubstr("> 2\n"));
  return text;
}

// The names that match the first group of `pattern` in `text`.
std::set<std::string> NamesIn(const std::string& text, const std::string& pattern) {
  const std::regex regex(pattern);
  std::set<std::string> names;
  for (std::sregex_iterator it(text.begin(), text.end(), regex), end; it != end; ++it)
    names.insert((*it)[1]);
  return names;
}

struct Panel {
  std::string title;
  std::string expression;        // with the dashboard's variables
  std::set<std::string> labels;  // that its legend shows
};

std::vector<Panel> PanelsOf(const Json& dashboard) {
  std::vector<Panel> panels;
  for (const Json& panel : dashboard["panels"]) {
    if (panel["type"] == "row") continue;
    EXPECT_FALSE(panel["targets"].empty()) << panel["title"];
    for (const Json& target : panel["targets"]) {
      EXPECT_EQ(panel["datasource"]["uid"], "${datasource}") << panel["title"];
      panels.push_back({panel["title"], target["expr"],
                        NamesIn(target.value("legendFormat", ""), "\\{\\{(\\w+)\\}\\}")});
    }
  }
  return panels;
}

// Three groups; something of everything has been asked for, and goes on to be.
class Prometheus : public testing::Test {
 protected:
  Prometheus() : cluster_(3, {"--cores", "4"}), client_(cluster_.Connect()) {
    EXPECT_TRUE(MiniCluster::Await(
        [&] {
          std::string groups = cluster_.Kvctl({"group", "list"}).output;
          return absl::StrContains(groups, "\n4 ") && !absl::StrContains(groups, "creating");
        },
        60));
    load_ = std::thread([this] {
      for (int i = 0; !stop_; ++i) {
        std::string key = "key" + std::to_string(i % 1'000);
        (void)client_->Put(key, "no number");
        (void)client_->Get(key);
        (void)client_->Increment(key, 1);  // which fails
        (void)client_->Scan({.start = key, .limit = 10})->Next();
      }
    });
    for (const char* key : {"key3", "key6"})
      EXPECT_EQ(cluster_.Kvctl({"shard", "split", key}).exit_code, 0);
    auto moved = cluster_.Kvctl({"--timeout-ms", "30000", "shard", "scatter"});
    EXPECT_EQ(moved.exit_code, 0) << moved.output;
    prometheus_ = std::make_unique<PrometheusServer>(std::map<std::string, std::string>{
        {"prometheus.yml", ScrapeConfiguration(cluster_)}, {"alerts.yml", Alerts()}});
  }
  ~Prometheus() override {
    stop_ = true;
    load_.join();
  }

  // Whether the expression gives numbers, each with these labels, within 20 s.
  bool HasData(const std::string& expression, const std::set<std::string>& labels,
               std::string* why) {
    return MiniCluster::Await([&] {
      auto samples = prometheus_->Query(expression);
      if (!samples.ok()) {
        *why = std::string(samples.status().message());
        return false;
      }
      *why = absl::StrCat(samples->size(), " series, none with a number");
      bool some = false;
      for (const Sample& sample : *samples) {
        some = some || std::isfinite(sample.value);
        for (const std::string& label : labels) {
          if (sample.labels.count(label) > 0) continue;
          *why = "a series has no label " + label;
          return false;
        }
      }
      return some;
    });
  }
  double ValueOf(const std::string& expression) {
    auto samples = prometheus_->Query(expression);
    return samples.ok() && samples->size() == 1 ? (*samples)[0].value : std::nan("");
  }

  MiniCluster cluster_;
  std::unique_ptr<Client> client_;
  std::unique_ptr<PrometheusServer> prometheus_;
  std::atomic<bool> stop_ = false;
  std::thread load_;
};

TEST(Promtool, AcceptsWhatIsShipped) {
  auto config =
      RunProgram({"/usr/bin/promtool", "check", "config", KVD_DEPLOY "/prometheus/prometheus.yml"});
  EXPECT_EQ(config.exit_code, 0) << config.output;
  auto rules =
      RunProgram({"/usr/bin/promtool", "check", "rules", KVD_DEPLOY "/prometheus/alerts.yml"});
  EXPECT_EQ(rules.exit_code, 0) << rules.output;
}

TEST_F(Prometheus, EveryPanelShowsSomething) {
  Json dashboard = Json::parse(Shipped("dashboard.json"));
  std::string job;
  for (const Json& variable : dashboard["templating"]["list"]) {
    if (variable["name"] != "job") continue;
    // What Grafana makes of label_values(metric, label).
    std::smatch match;
    std::string query = variable["query"];
    ASSERT_TRUE(std::regex_match(query, match, std::regex("label_values\\((\\w+), (\\w+)\\)")));
    std::string path = absl::StrCat("label/", match[2].str(), "/values");
    ASSERT_TRUE(MiniCluster::Await([&] {
      auto values = prometheus_->Ask(path, {{"match[]", match[1].str()}});
      if (!values.ok() || values->size() != 1) return false;
      job = (*values)[0];
      return true;
    })) << prometheus_->Log();
  }
  ASSERT_EQ(job, "kvd");

  std::vector<Panel> panels = PanelsOf(dashboard);
  EXPECT_GT(panels.size(), 30u);
  for (const Panel& panel : panels) {
    // Grafana's interval for rates: four scrapes.
    std::string expression =
        absl::StrReplaceAll(panel.expression, {{"$job", job}, {"$__rate_interval", "4s"}});
    EXPECT_FALSE(absl::StrContains(expression, '$')) << panel.title << ": " << expression;
    std::string why;
    EXPECT_TRUE(HasData(expression, panel.labels, &why))
        << panel.title << ": " << expression << ": " << why;
    if (panel.title == "Stores that serve" || panel.title == "Groups") {
      EXPECT_EQ(ValueOf(expression), 3) << panel.title;
    }
    if (panel.title == "Shards") {
      EXPECT_EQ(ValueOf(expression), 3);
    }
  }
  EXPECT_EQ(ValueOf("count(up{job=\"kvd\"} == 1)"), 3);
}

TEST_F(Prometheus, AlertsCanBeToldAndFire) {
  Json rules;
  auto evaluated = [&] {
    auto told = prometheus_->Ask("rules");
    if (!told.ok() || (*told)["groups"].size() != 1) return false;
    rules = (*told)["groups"][0]["rules"];
    return std::all_of(rules.begin(), rules.end(),
                       [](const Json& rule) { return rule["health"] != "unknown"; });
  };
  ASSERT_TRUE(MiniCluster::Await(evaluated)) << prometheus_->Log();
  EXPECT_GE(rules.size(), 6u);
  for (const Json& rule : rules) {
    EXPECT_EQ(rule["health"], "ok") << rule;
    // What it compares is there, with what its summary names, also when all is well.
    std::string expression = rule["query"];
    size_t comparison = expression.find_last_of("<>=");
    ASSERT_NE(comparison, std::string::npos) << rule;
    comparison = expression.find_last_not_of("<>= ", comparison);
    std::string why;
    EXPECT_TRUE(HasData(expression.substr(0, comparison + 1),
                        NamesIn(rule["annotations"]["summary"], "\\$labels\\.(\\w+)"), &why))
        << expression << ": " << why;
  }

  int victim = 1;
  while (cluster_.Metric(victim, "kvd_controller_leads") == 1) ++victim;
  cluster_.Kill(victim);
  auto names = [&] {
    std::set<std::string> firing;
    auto told = prometheus_->Ask("alerts");
    if (!told.ok()) return firing;
    for (const Json& alert : (*told)["alerts"])
      firing.insert(absl::StrCat(alert["labels"]["alertname"].get<std::string>(), ": ",
                                 alert["annotations"]["summary"].get<std::string>()));
    return firing;
  };
  std::string wanted = absl::StrCat("StoreDown: Store ", victim, " was not heard of for ");
  EXPECT_TRUE(MiniCluster::Await([&] {
    for (const std::string& name : names()) {
      if (absl::StartsWith(name, wanted)) return true;
    }
    return false;
  })) << testing::PrintToString(names());
}

}  // namespace
}  // namespace kvd

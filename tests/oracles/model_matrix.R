library(splines)
d <- data.frame(
  age = c(23, 35, 47, 51, 62, 28, 39, 44, 70, 33, 58, 66),
  income = c(12.5, 31, 18.2, 45.7, 22.1, 9.8, 60.3, 27.4, 15.9, 38.6, 52.2, 20.4),
  region = c("west", "north", "south", "north", "west", "south", "north", "west", "south", "south", "west", "north"),
  code = c(1, 2, 3, 1, 2, 3, 3, 2, 1, 1, 3, 2),
  score.raw = c(3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8),
  stringsAsFactors = TRUE)
new <- data.frame(
  age = c(20, 45, 75), income = c(5, 33.3, 70), region = factor(c("south", "west", "north"), levels = levels(d$region)),
  code = c(3, 1, 2), score.raw = c(2, 7, 4))
formulas <- list(
  "age + C(region) * bs(income, 4)" = ~ age + factor(region) * bs(income, 4),
  "(age + region + score.raw)**2" = ~ (age + region + score.raw)^2,
  "region / age" = ~ region / age,
  "0 + region + age:region" = ~ 0 + region + age:region,
  "age:region - 1" = ~ age:region - 1,
  "C(code) - 1" = ~ factor(code) - 1,
  "poly(age, 3) + scale(income)" = ~ poly(age, 3) + scale(income),
  "center(income):region + log(age)" = ~ scale(income, scale = FALSE):region + log(age),
  "C(region, contr.sum) * C(code, contr.helmert)" = ~ C(region, contr.sum) * C(factor(code), contr.helmert),
  "C(region, contr.treatment('south')) + I(age**2)" = ~ C(region, contr.treatment(3, base = 2)) + I(age^2),
  "bs(income, knots=[20, 40], degree=2) + sqrt(age)" = ~ bs(income, knots = c(20, 40), degree = 2) + sqrt(age),
  "C(region, contr.poly)" = ~ C(region, contr.poly))
num <- function(m) paste0("[", paste(apply(m, 1, function(r) paste0("[", paste(sprintf("%.17g", r), collapse = ", "), "]")), collapse = ", "), "]")
out <- character(0)
for (name in names(formulas)) {
  tt <- terms(formulas[[name]])
  mf <- model.frame(tt, d)
  m <- model.matrix(tt, mf)
  m2 <- suppressWarnings(model.matrix(tt, model.frame(attr(mf, "terms"), new,
    xlev = .getXlevels(attr(mf, "terms"), mf)), contrasts.arg = attr(m, "contrasts")))
  keep <- attr(m, "assign") > 0
  lab <- attr(tt, "term.labels")
  asg <- attr(m, "assign")[keep]
  out <- c(out, sprintf("  \"%s\": {\"term\": [%s], \"fit\": %s, \"new\": %s}", name, paste(asg, collapse=", "), num(m[, keep, drop = FALSE]), num(m2[, keep, drop = FALSE])))
}
cat("{\n", paste(out, collapse = ",\n"), "\n}\n", sep = "")

# Goodness of fit on beps.csv: the test of Fagerland, Hosmer & Bofin by its definition for
# nnet::multinom, that of Hosmer & Lemeshow for glm, and Pearson's and the deviance of grouped counts.
# Usage: Rscript goodness_of_fit.R > goodness_of_fit.json, in this folder.
suppressMessages({library(nnet); library(jsonlite)})
beps <- read.csv("beps.csv"); beps$vote <- factor(beps$vote)
beps$labour <- as.integer(beps$vote == "Labour")
groups <- function(key, g) cut(key, unique(quantile(key, seq(0, 1, 1 / g))), include.lowest = TRUE)
of <- function(obs, P, g) {
  key <- groups(1 - P[, 1], g)
  O <- xtabs(obs ~ key); E <- xtabs(P ~ key)
  chi2 <- sum((O - E)^2 / E); df <- (nrow(O) - 2) * (ncol(O) - 1)
  list(chi2 = chi2, df = df, p_value = pchisq(chi2, df, lower.tail = FALSE), n_groups = nrow(O))
}
three <- multinom(vote ~ age + Blair + Europe, beps, trace = FALSE, reltol = 1e-16, maxit = 2000)
two <- glm(labour ~ age + Blair + Europe, binomial, beps, epsilon = 1e-14)
p <- fitted(two)
# Counts by two questions of five answers.
few <- multinom(vote ~ Blair + Kennedy, beps, trace = FALSE, reltol = 1e-16, maxit = 2000)
cell <- interaction(beps$Blair, beps$Kennedy, drop = TRUE)
O <- xtabs(class.ind(beps$vote) ~ cell); E <- xtabs(fitted(few) ~ cell); df <- nrow(O) * 2 - 6
counts <- aggregate(cbind(labour, n = 1) ~ Blair + Kennedy, beps, sum)
grouped <- glm(cbind(labour, n - labour) ~ Blair + Kennedy, binomial, counts, epsilon = 1e-14)
cat(toJSON(list(
  version = c(R.version.string, paste("nnet", packageVersion("nnet"))),
  multinom = of(class.ind(beps$vote), fitted(three), 10), multinom_7 = of(class.ind(beps$vote), fitted(three), 7),
  logit = of(cbind(1 - beps$labour, beps$labour), cbind(1 - p, p), 10),
  tables = list(pearson = sum((O - E)^2 / E), deviance = 2 * sum(ifelse(O > 0, O * log(O / E), 0)), df = df, n_groups = nrow(O)),
  tables_logit = list(pearson = sum(residuals(grouped, "pearson")^2), deviance = deviance(grouped), df = df.residual(grouped))
), digits = 15, auto_unbox = TRUE, pretty = TRUE), "\n")

# Rscript null_model.R > null_model.json
# Intercept-only models of beps.csv, and a larger model beside them.
library(nnet)
library(jsonlite)

beps <- read.csv("beps.csv", stringsAsFactors = TRUE)
n <- nrow(beps)
beps$weight <- rep(c(1, 2, 0.5), length.out = n)
fit <- function(formula, weights = rep(1, n)) {
  eval(substitute(multinom(f, beps, weights = w, trace = FALSE, reltol = 1e-16, maxit = 1000,
                           Hess = TRUE), list(f = formula, w = weights)))
}
described <- function(m) {
  list(coef = coef(m)[, 1], se = summary(m)$standard.errors[, 1], loglik = logLik(m)[1],
       aic = AIC(m), bic = BIC(m), fitted = fitted(m)[1, ])
}
null <- fit(vote ~ 1)
full <- fit(vote ~ age + gender + Europe)
versions <- list(R = R.version.string, nnet = as.character(packageVersion("nnet")))
cat(toJSON(list(
  versions = versions,
  levels = levels(beps$vote),
  null = described(null),
  weighted = described(fit(vote ~ 1, weights = beps$weight)),
  anova = as.list(anova(null, full)[2, ]),
  full_loglik = logLik(full)[1]
), digits = 17, auto_unbox = TRUE))

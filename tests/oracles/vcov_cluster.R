# Covariances of a multinomial logit by clusters: nnet::multinom and sandwich::vcovCL on beps.csv.
# Usage: Rscript vcov_cluster.R > vcov_cluster.json, in this folder.
suppressMessages({library(nnet); library(sandwich); library(jsonlite)})
beps <- read.csv("beps.csv")
beps$vote <- factor(beps$vote)
beps$cluster <- (7 * (seq_len(nrow(beps)) - 1) ^ 2) %% 41
# sandwich has no methods for multinom: estimating functions are (y_k - p_k) x, the bread is n times
# the covariance. Coefficients are class by class, as in vcov.
estfun.multinom <- function(x, ...) {
  X <- model.matrix(x); P <- fitted(x)
  Y <- outer(as.character(beps$vote), colnames(P), "==") * 1
  do.call(cbind, lapply(2:ncol(P), function(k) (Y[, k] - P[, k]) * X))
}
bread.multinom <- function(x, ...) vcov(x) * nobs(x)
nobs.multinom <- function(object, ...) nrow(fitted(object))
three <- multinom(vote ~ age + Blair + Europe, beps, trace = FALSE, reltol = 1e-16, maxit = 1000, Hess = TRUE)
beps2 <- transform(beps, labour = as.integer(vote == "Labour"))
two <- glm(labour ~ age + Blair + Europe, binomial, beps2, epsilon = 1e-14)
of <- function(fit) {
  cl <- function(...) unname(sqrt(diag(vcovCL(fit, cluster = beps$cluster, ...))))
  list(HC1 = cl(type = "HC1"), HC0 = cl(type = "HC0"), none = cl(type = "HC0", cadjust = FALSE),
       robust = unname(sqrt(diag(sandwich(fit)))), robust_HC1 = unname(sqrt(diag(sandwich(fit, adjust = TRUE)))))
}
null2 <- update(two, . ~ 1)
n <- nrow(beps); L <- as.numeric(logLik(two)); L0 <- as.numeric(logLik(null2)); p <- fitted(two)
cat(toJSON(list(
  version = c(R.version.string, paste("nnet", packageVersion("nnet")), paste("sandwich", packageVersion("sandwich"))),
  columns = colnames(model.matrix(three)), classes = levels(beps$vote)[-1],
  coef = unname(c(t(coef(three)))), multinom = of(three), coef_logit = unname(coef(two)), logit = of(two),
  r2 = list(mcfadden = 1 - L / L0, cox_snell = 1 - exp(2 * (L0 - L) / n),
            nagelkerke = (1 - exp(2 * (L0 - L) / n)) / (1 - exp(2 * L0 / n)),
            tjur = mean(p[beps2$labour == 1]) - mean(p[beps2$labour == 0]))
), digits = 17, auto_unbox = TRUE, pretty = TRUE), "\n")

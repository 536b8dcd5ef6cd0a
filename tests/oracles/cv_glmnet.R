# Rscript cv_glmnet.R > cv_glmnet.json, in the directory of multinomial_example.csv
suppressMessages({library(glmnet); library(jsonlite)})
data <- read.csv("multinomial_example.csv")
X <- as.matrix(data[, 1:30]); y <- data$y
set.seed(1)
fold <- sample(rep(1:10, c(30, 80, 50, 50, 40, 60, 45, 55, 50, 40)))
lambda <- exp(seq(log(0.2), log(0.004), length.out = 20))
cv <- function(...) {
  f <- cv.glmnet(X, y, family = "multinomial", standardize = FALSE, foldid = fold,
                 lambda = lambda, maxit = 1e7, ...)
  out <- list(cvm = f$cvm, cvsd = f$cvsd, min = f$lambda.min, one_se = f$lambda.1se)
  if (!is.null(f$relaxed)) {
    stats <- f$relaxed$statlist
    out$gamma <- as.numeric(sub("g:", "", names(stats)))
    out$relaxed <- do.call(rbind, lapply(stats, function(s) s$cvm))
    out$relaxed_lambda <- stats[[1]]$lambda
    out$relaxed_min <- c(f$relaxed$lambda.min, f$relaxed$gamma.min)
  }
  out
}
scale <- 10^seq(-3, 3, length.out = 30)
weights <- 1 + (seq_along(y) %% 3)
standardised <- function(...) {
  f <- glmnet(sweep(X, 2, scale, "*"), y, family = "multinomial", weights = weights,
              lambda = c(0.1, 0.03, 0.01), thresh = 1e-14, maxit = 1e7, ...)
  list(lambda = f$lambda, dev_ratio = f$dev.ratio,
       coef = lapply(1:3, function(l) t(sapply(f$beta, function(b) as.numeric(b[, l])))))
}
out <- list(
  version = as.character(packageVersion("glmnet")), fold = fold, lambda = lambda,
  lasso = cv(alpha = 1, thresh = 1e-10), elastic_net = cv(alpha = 0.5, thresh = 1e-10),
  grouped = cv(type.multinomial = "grouped", thresh = 1e-9),
  relaxed = cv(relax = TRUE, thresh = 1e-10),
  standardised = standardised(),
  standardised_elastic_net = standardised(alpha = 0.5)
)
write(toJSON(out, digits = 10, auto_unbox = TRUE), stdout())

# Rscript glmnet_options.R > glmnet_options.json, in the directory of multinomial_example.csv
# What glmnet's options do, for the migration page and for tests of standardisation and relaxation.
suppressMessages({library(glmnet); library(jsonlite)})
data <- read.csv("multinomial_example.csv")
X <- as.matrix(data[, 1:30]); y <- data$y
units <- X * rep(10^seq(-2, 2, length.out = 30), each = nrow(X))
weights <- 1 + seq_along(y) %% 3
offset <- cbind(0.5 * X[, 1], -0.3 * X[, 2], 0)
lambda <- c(0.1, 0.03, 0.01)
coefs <- function(fit) {
  beta <- if (is.list(fit$beta)) fit$beta else list(fit$beta)
  lapply(seq_along(fit$lambda), function(l) t(sapply(beta, function(b) as.numeric(b[, l]))))
}
fit <- function(x = units, ...) {
  glmnet(x, y, family = "multinomial", lambda = lambda, thresh = 1e-14, maxit = 1e7, ...)
}
case <- function(f) list(coef = coefs(f), intercept = t(as.matrix(f$a0)), dev_ratio = f$dev.ratio)
relaxed <- glmnet(X, y, family = "multinomial", lambda = c(0.08, 0.06, 0.04), relax = TRUE,
                  thresh = 1e-14, maxit = 1e7, standardize = FALSE)
default <- glmnet(units, y, family = "multinomial", nlambda = 100)
fold <- rep(1:5, length.out = length(y))
cv <- function(measure) {
  cv.glmnet(units, y, family = "multinomial", lambda = lambda, foldid = fold, thresh = 1e-12,
            maxit = 1e7, type.measure = measure)
}
deviance <- cv("deviance"); class <- cv("class"); relaxed_cv <- cv.glmnet(
  X, y, family = "multinomial", lambda = c(0.08, 0.06, 0.04), foldid = fold, thresh = 1e-12,
  maxit = 1e7, standardize = FALSE, relax = TRUE)
two <- glmnet(units, y == 1, family = "binomial", lambda = lambda, thresh = 1e-14, maxit = 1e7)
one <- fit(weights = weights)
out <- list(
  versions = list(R = R.version.string, glmnet = as.character(packageVersion("glmnet"))),
  lambda = lambda, fold = fold,
  lasso = case(fit()),
  elastic_net = case(fit(alpha = 0.5)),
  ridge = case(fit(alpha = 0)),
  grouped = case(fit(type.multinomial = "grouped")),
  weights = case(one),
  no_intercept = case(fit(intercept = FALSE)),
  plain = case(fit(x = X, standardize = FALSE)),
  penalty_factor = case(fit(penalty.factor = rep(1:3, 10))),
  exclude = case(fit(exclude = c(1, 3))),
  limits = case(fit(lower.limits = -0.05, upper.limits = 0.025, x = 10 * X)),
  offset = case(fit(offset = offset)),
  two_classes = list(coef = coefs(two), intercept = two$a0),
  predict = list(
    link = drop(predict(one, units[1:5, ], s = 0.03)),
    response = drop(predict(one, units[1:5, ], s = 0.03, type = "response")),
    class = as.integer(predict(one, units[1:20, ], s = 0.03, type = "class"))
  ),
  path = list(lambda = default$lambda, df = default$df),
  cv = list(
    deviance = deviance$cvm, class = class$cvm, class_sd = class$cvsd,
    min = deviance$lambda.min, one_se = deviance$lambda.1se
  ),
  relaxed = list(lambda = relaxed$relaxed$lambda, coef = coefs(relaxed$relaxed),
                 dev_ratio = relaxed$relaxed$dev.ratio, selected = coefs(relaxed),
                 null_deviance = relaxed$nulldev),
  relaxed_cv = list(gamma = as.numeric(sub("g:", "", names(relaxed_cv$relaxed$statlist))),
                    cvm = do.call(rbind, lapply(relaxed_cv$relaxed$statlist, function(s) s$cvm)))
)
write(toJSON(out, digits = 10, auto_unbox = TRUE), stdout())

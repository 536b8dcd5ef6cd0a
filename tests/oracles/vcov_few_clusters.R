# Robust covariances for few rows and clusters: sandwich and clubSandwich on beps.csv.
# Usage: Rscript vcov_few_clusters.R > vcov_few_clusters.json, in this folder.
suppressMessages({library(nnet); library(sandwich); library(clubSandwich); library(jsonlite)})
all <- read.csv("beps.csv")
all$vote <- factor(all$vote); i <- seq_len(nrow(all)) - 1
all$a <- floor(sqrt(i)); all$b <- (7 * i ^ 2) %% 41; all$labour <- as.integer(all$vote == "Labour")
beps <- all[1:300, ]
two <- glm(labour ~ age + Blair + Europe, binomial, beps, epsilon = 1e-14)
estfun.multinom <- function(x, ...) {
  X <- model.matrix(x); P <- fitted(x)
  Y <- outer(as.character(all$vote), colnames(P), "==") * 1
  do.call(cbind, lapply(2:ncol(P), function(k) (Y[, k] - P[, k]) * X))
}
bread.multinom <- function(x, ...) vcov(x) * nobs(x)
nobs.multinom <- function(object, ...) nrow(fitted(object))
three <- multinom(vote ~ age + Blair + Europe, all, trace = FALSE, reltol = 1e-16, maxit = 1000, Hess = TRUE)
V <- function(x) unname(as.matrix(x))
two_way <- function(fit, ways) list(HC1 = V(vcovCL(fit, ways, type = "HC1")), HC0 = V(vcovCL(fit, ways, type = "HC0")),
                              none = V(vcovCL(fit, ways, type = "HC0", cadjust = FALSE)))
# CR2 of the linear model that a Newton step solves, with residuals of unit variance under the logit:
# each row is multiplied by the transposed root of its curvature. Coefficients are class by class.
cr2 <- function(X, P, Y, beta, cluster, tested) {
  r <- ncol(P); rows <- list(); e <- list()
  for (i in seq_len(nrow(X))) {
    p <- P[i, ]; Fi <- chol(diag(p, r) - p %*% t(p))  # t(Fi) %*% Fi is the curvature
    rows[[i]] <- Fi %*% kronecker(diag(r), X[i, , drop = FALSE]); e[[i]] <- solve(t(Fi), Y[i, ] - p)
  }
  Z <- do.call(rbind, rows); z <- Z %*% beta + unlist(e); id <- rep(cluster, each = r)
  fit <- lm(z ~ 0 + Z); V <- vcovCR(fit, id, type = "CR2")
  ct <- coef_test(fit, V, test = "Satterthwaite"); wt <- Wald_test(fit, constrain_zero(tested), V, test = "HTZ")
  list(vcov = unname(as.matrix(V)), df = ct[[grep("df", names(ct))[1]]], p = ct[[grep("^p", names(ct))[1]]],
       HTZ = list(F = wt$Fstat, df_denom = wt$df_denom, p = wt$p_val))
}
few <- update(three, data = beps)
G <- length(unique(beps$a))
changes <- sapply(unique(beps$a), function(g) coef(update(two, data = beps[beps$a != g, ])) - coef(two))
jackknife <- (G - 1) / G * tcrossprod(changes)
hc2 <- vcovHC(two, "HC2"); hc3 <- vcovHC(two, "HC3")
cat(toJSON(list(
  version = c(R.version.string, paste("nnet", packageVersion("nnet")), paste("sandwich", packageVersion("sandwich")),
              paste("clubSandwich", packageVersion("clubSandwich"))),
  two_way = list(logit = two_way(two, list(beps$a, beps$b)), multinom = two_way(three, list(i %% 97, i %/% 20))),
  CR2 = list(logit = cr2(model.matrix(two), cbind(fitted(two)), cbind(beps$labour), coef(two), beps$a, 2:3),
             multinom = cr2(model.matrix(few), fitted(few)[, -1], outer(as.character(beps$vote), levels(beps$vote)[-1], "==") * 1,
                            c(t(coef(few))), beps$a, c(2, 3, 6, 7))),
  clubSandwich_glm = list(CR2 = V(vcovCR(two, beps$a, type = "CR2"))),
  logit = list(HC2 = V(hc2), HC3 = V(hc3),      CR3 = V(vcovCR(two, beps$a, type = "CR3")),
     jackknife = V(jackknife))
), digits = 15, auto_unbox = TRUE), "\n")

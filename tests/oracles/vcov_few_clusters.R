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
p <- fitted(two)
cr2 <- vcovCR(two, beps$a, type = "CR2")
cr2id <- vcovCR(two, beps$a, type = "CR2", target = 1 / (p * (1 - p)))
ct <- coef_test(two, cr2, test = "Satterthwaite")
wt <- Wald_test(two, constrain_zero(2:3), cr2, test = c("HTZ"))
G <- length(unique(beps$a))
changes <- sapply(unique(beps$a), function(g) coef(update(two, data = beps[beps$a != g, ])) - coef(two))
jackknife <- (G - 1) / G * tcrossprod(changes)
hc2 <- vcovHC(two, "HC2"); hc3 <- vcovHC(two, "HC3")
cat(toJSON(list(
  version = c(R.version.string, paste("nnet", packageVersion("nnet")), paste("sandwich", packageVersion("sandwich")),
              paste("clubSandwich", packageVersion("clubSandwich"))),
  two_way = list(logit = two_way(two, list(beps$a, beps$b)), multinom = two_way(three, list(i %% 97, i %/% 20))),
  logit = list(HC2 = V(hc2), HC3 = V(hc3), CR2 = V(cr2), CR2_target = V(cr2id), CR2_df = ct[[grep("df", names(ct))[1]]], CR2_p = ct[[grep("^p", names(ct))[1]]],
     HTZ = list(F = wt$Fstat, df_num = wt$df_num, df = wt$df_denom, p = wt$p_val),
     CR3 = V(vcovCR(two, beps$a, type = "CR3")),
     jackknife = V(jackknife))
), digits = 15, auto_unbox = TRUE), "\n")

# Times a lasso path in glmnet. Arguments: a folder with the data, "grouped" or "ungrouped", the
# number of penalties, and the ratio of the smallest to the largest ("default" for glmnet's own).
# Writes the penalties to lambda.bin, coefficients of the last to coef.bin, and prints the seconds.
suppressMessages({library(Matrix); library(glmnet)})
arguments <- commandArgs(TRUE)
folder <- arguments[1]
shape <- scan(file.path(folder, "shape.txt"), quiet = TRUE)
read <- function(name, what, n) readBin(file.path(folder, name), what, n, size = ifelse(what == "integer", 4, 8))
y <- factor(read("y.bin", "integer", shape[1]))
if (length(shape) == 2) {
  x <- matrix(read("x.bin", "double", prod(shape)), shape[1])
} else {
  x <- new("dgCMatrix", i = read("i.bin", "integer", shape[3]), p = read("p.bin", "integer", shape[2] + 1),
           x = read("x.bin", "double", shape[3]), Dim = as.integer(shape[1:2]))
}
options <- list(x = x, y = y, family = "multinomial", type.multinomial = arguments[2],
                standardize = FALSE, nlambda = as.integer(arguments[3]))
if (arguments[4] != "default") options$lambda.min.ratio <- as.numeric(arguments[4])
glmnet.control(fdev = 0, devmax = 1)
seconds <- system.time(fit <- do.call(glmnet, options))["elapsed"]
last <- length(fit$lambda)
coef <- rbind(fit$a0[, last], sapply(fit$beta, function(b) b[, last]))
writeBin(fit$lambda, file.path(folder, "lambda.bin"))
writeBin(as.vector(coef), file.path(folder, "coef.bin"))
cat(seconds, "\n")

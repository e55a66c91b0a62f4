;; $environment, $arguments and $directory, each with the address for what it finds.
;;@import
(import "wasi:cli/environment@0.2.6" (instance $environment
  (export "get-environment" (func (result (list (tuple string string)))))
  (export "get-arguments" (func (result (list string))))
  (export "initial-cwd" (func (result (option string))))))
;;@lower
(core func $environment-lowered (canon lower (func $environment "get-environment") (memory $mem) (realloc $realloc)))
(core func $arguments-lowered (canon lower (func $environment "get-arguments") (memory $mem) (realloc $realloc)))
(core func $directory-lowered (canon lower (func $environment "initial-cwd") (memory $mem) (realloc $realloc)))
;;@core-import
(import "process" "environment" (func $environment (param i32)))
(import "process" "arguments" (func $arguments (param i32)))
(import "process" "directory" (func $directory (param i32)))
;;@core-with
(with "process" (instance
  (export "environment" (func $environment-lowered)) (export "arguments" (func $arguments-lowered))
  (export "directory" (func $directory-lowered))))

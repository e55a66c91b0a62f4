;; $network (gives a handle) and $resolve (network, name at, bytes, result at): denied at run time, with an error.
;;@import
(import "wasi:sockets/network@0.2.6" (instance $network
  (export "network" (type (sub resource)))
  (type $code (enum "unknown" "access-denied"))
  (export "error-code" (type (eq $code)))))
(alias export $network "network" (type $network-type))
(alias export $network "error-code" (type $code))
(import "wasi:sockets/instance-network@0.2.6" (instance $default
  (alias outer 1 $network-type (type $outer))
  (export "network" (type $network (eq $outer)))
  (export "instance-network" (func (result (own $network))))))
(import "wasi:sockets/ip-name-lookup@0.2.6" (instance $lookup
  (export "resolve-address-stream" (type $stream (sub resource)))
  (alias outer 1 $network-type (type $outer))
  (export "network" (type $network (eq $outer)))
  (alias outer 1 $code (type $outer-code))
  (export "error-code" (type $code (eq $outer-code)))
  (export "resolve-addresses" (func
    (param "network" (borrow $network)) (param "name" string) (result (result (own $stream) (error $code)))))))
;;@lower
(core func $network-lowered (canon lower (func $default "instance-network")))
(core func $resolve-lowered (canon lower (func $lookup "resolve-addresses") (memory $mem)))
;;@core-import
(import "lookup" "network" (func $network (result i32)))
(import "lookup" "resolve" (func $resolve (param i32 i32 i32 i32)))
;;@core-with
(with "lookup" (instance (export "network" (func $network-lowered)) (export "resolve" (func $resolve-lowered))))

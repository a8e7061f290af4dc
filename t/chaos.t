#!/usr/bin/perl
# Chaos in the short: every class of faults once, and a planted fault that the checker must find. t/chaos/run is the long one.
use Test2::V0;
use Cwd qw(abs_path);
use File::Basename qw(dirname);

my $source = $ENV{TEST_SRCDIR} // abs_path(dirname(__FILE__) . '/..');
my $build = $ENV{TEST_BUILDDIR} // "$source/build";
my $run = "$source/t/chaos/run";

sub output_of {
    my (@command) = @_;
    open my $out, '-|', @command or die "$command[0]: $!";
    my $text = do { local $/ = undef; <$out> };
    close $out;
    return ($? >> 8, $text);
}

# Its stacks are its own.
delete @ENV{ grep { /^BATTLEPASS/ } keys %ENV };

my ($status, $text) = output_of($run, '--minutes', 0.8, '--build', $build, defined $ENV{TEST_SEED} ? ('--seed', $ENV{TEST_SEED}) : ());
is($status, 0, 'every claim holds in every class') or diag($text);
note($text);

($status, $text) = output_of($run, '--mutant', 'breaker_skips_fence');
is($status, 0, 'a planted fault is caught') or diag($text);
note($text);

done_testing;

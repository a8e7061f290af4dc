#!/usr/bin/perl
# The model of the cache protocol in the small (t/model): the whole protocol lets no read return what is older than a write that was
# acknowledged before, and of each variant that lacks an ingredient spin finds that out. In the large: t/model/run.
use Test2::V0;
use Cwd qw(abs_path);
use File::Basename qw(dirname);
use File::Temp qw(tempdir);

my $source = $ENV{TEST_SRCDIR} // abs_path(dirname(__FILE__) . '/..');
my $run = "$source/t/model/run";
my $scratch = tempdir('battlepass-model-XXXXXX', TMPDIR => 1, CLEANUP => 1);

# name => expectation, of the rows that belong here.
sub small_rows {
    open my $table, '<', "$source/t/model/configurations" or die "configurations: $!";
    return map { /^([a-z-]+)\s+small\s+(\w+)/ ? ($1 => $2) : () } <$table>;
}

my %expected = small_rows();
my %found = map { /^(?:ok|FAILED)\s+([a-z-]+)\s+\w+\s+(\w+)/ ? ($1 => [ $2, $_ ]) : () } `$run --small --jobs 2 --memory 900`;
is $? >> 8, 0, 'every configuration is as the table says';
for my $name (sort keys %expected) {
    my ($verdict, $line) = @{ $found{$name} // [ 'nothing', '' ] };
    is $verdict, $expected{$name}, "$name: $expected{$name}" or diag $line;
}

# What is not as expected must fail the run: a stale read that is found, one that is not, a macro that breaks the model.
my %wrong = (
    found => 'none 1 2 EVICTIONS=1 DISTRUSTS=0 NO_CONFIRM',
    missed => 'acknowledged 1 2 DISTRUSTS=0',
    broken => 'none 1 2 READERS=',
);
for my $name (sort keys %wrong) {
    open my $table, '>', "$scratch/$name" or die "$name: $!";
    print $table "$name small $wrong{$name}\n";
    close $table;
    like scalar(`$run --small --table $scratch/$name 2>/dev/null`), qr/^FAILED\s+$name/m, "$name: the run says so";
    is $? >> 8, 1, "$name: the run fails";
}

done_testing;

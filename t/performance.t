#!/usr/bin/perl
# PERFORMANCE.md says what docs/performance/*.json say, and a figure that is changed in either is found.
use Test2::V0 '!check';
use Cwd qw(abs_path);
use File::Basename qw(dirname);
use File::Copy qw(copy);
use File::Temp qw(tempdir);

my $source = $ENV{TEST_SRCDIR} // abs_path(dirname(__FILE__) . '/..');
my $scratch = tempdir('battlepass-performance-XXXXXX', TMPDIR => 1, CLEANUP => 1);
my @files = glob "$source/docs/performance/*.json";

sub slurp {
    my ($file) = @_;
    open my $in, '<', $file or die "$file: $!";
    local $/ = undef;
    return scalar <$in>;
}

sub check { return system("$source/t/bench/report", '--check', '--data', $_[0]) >> 8 }

ok(scalar @files, 'there are figures');
is(check("$source/docs/performance"), 0, 'the page is made of them');

copy($_, $scratch) or die "$_: $!" for @files;
my $run = slurp("$scratch/run.json");
$run =~ s/("name" : "grants",.*?"rate" : )(\d)/$1 . ($2 % 9 + 1)/es or die 'run.json has no grants';
open my $out, '>', "$scratch/run.json" or die "run.json: $!";
print {$out} $run;
close $out or die "run.json: $!";
is(check($scratch), 1, 'another rate is found');

unlike(slurp("$source/PERFORMANCE.md"), qr/Not measured|not measured/, 'nothing is missing');
my @plots = slurp("$source/PERFORMANCE.md") =~ m{\(docs/performance/(\S+)\.svg\)}g;
ok(-s "$source/docs/performance/$_.svg", "$_.svg is there") for @plots;

done_testing;
